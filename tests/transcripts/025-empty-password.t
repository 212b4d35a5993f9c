# Wire point 25: PASS without a password is no command; an empty password is a wrong one.
user kermit secret

greeting
C: USER kermit
S~ +OK*
C: PASS
S~ -ERR usage: PASS*
C: PASS secret
S: -ERR send USER first
C: USER kermit
S~ +OK*
C: PASS\s
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER
S~ -ERR usage: USER*
C: USER\s
S~ -ERR usage: USER*
C: QUIT
S~ +OK*
close
