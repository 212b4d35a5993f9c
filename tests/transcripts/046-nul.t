# Wire point 46: NUL makes a command bad; nothing is cut off at it.
user kermit secret
message size=100

greeting
C: USER kermit\0x
S: -ERR a command may not hold NUL
C: USER kermit
S~ +OK*
C: PASS secret\0x
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER kermit
S~ +OK*
C: PASS secret\0
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: DELE 1\0
S: -ERR a command may not hold NUL
C: DELE\0 1
S: -ERR a command may not hold NUL
C: STAT\0
S: -ERR a command may not hold NUL
C: \0
S: -ERR a command may not hold NUL
C: QUIT\0
S: -ERR a command may not hold NUL
C: STAT
S: +OK 1 100
C: QUIT
S~ +OK*
close
left: 1
