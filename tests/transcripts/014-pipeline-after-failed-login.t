# Wire point 14: what follows a refused login in the same write is answered in AUTHORIZATION.
user kermit secret
message size=70

greeting
C: USER kermit
C: PASS wrong
C: DELE 1
C: RETR 1
C: USER kermit
C: PASS secret
C: STAT
C: QUIT
S~ +OK*
S~ -ERR [AUTH] name or password is wrong (id *)
S: -ERR log in first
S: -ERR log in first
S~ +OK*
S~ +OK*
S: +OK 1 70
S~ +OK*
close
left: 1
