# Wire point 28: where UTF8 and LANG are switched off they are unknown, in both states.
set utf8=no
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
