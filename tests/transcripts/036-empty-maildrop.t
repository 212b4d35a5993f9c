# Wire point 36: an empty maildrop.
user kermit secret

greeting
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 0 messages (0 octets)
C: STAT
S: +OK 0 0
C: LIST
S: +OK 0 messages (0 octets)
S: .
C: UIDL
S~ +OK*
S: .
C: LIST 1
S: -ERR no such message, maildrop has 0 messages
C: RETR 1
S~ -ERR*
C: RSET
S~ +OK*
C: QUIT
S: +OK bye (0 messages left)
close
left:
