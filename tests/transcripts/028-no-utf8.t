# Wire point 28: UTF8 and LANG are not announced, so they are unknown, in both states.
user kermit secret

greeting
C: UTF8
S: -ERR unknown command
C: LANG
S: -ERR unknown command
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: UTF8
S: -ERR unknown command
C: LANG *
S: -ERR unknown command
C: QUIT
S~ +OK*
close
