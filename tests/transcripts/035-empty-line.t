# Wire point 35: an empty line and a colon are bad commands; within AUTH an empty line is an empty response.
user kermit secret

greeting
C:
S: -ERR unknown command
C: :
S: -ERR unknown command
C: USER: kermit
S: -ERR unknown command
C: AUTH PLAIN
S: +\s
C:
S~ -ERR [AUTH] name or password is wrong (id *)
C:
S: -ERR unknown command
C: QUIT
S~ +OK*
close
