# Wire point 47: the client's octets come back in no answer.
user kermit secret
message size=100

greeting
C: \x1b[31mEVIL\x07
S: -ERR unknown command
C: USER \x1b[2J\r+OK\xff
S: +OK send PASS
C: PASS \x1b[2J
S~ -ERR [AUTH] name or password is wrong (id *)
C: AUTH \x1b[2J
S: -ERR mechanism is not offered, see CAPA
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: DELE \x1b[2J
S: -ERR usage: DELE message
C: LIST 1\x07
S: -ERR usage: LIST [message]
C: QUIT
S~ +OK*
close
left: 1
