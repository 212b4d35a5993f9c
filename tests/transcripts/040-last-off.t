# Wire point 40: LAST is unknown where it is not switched on.
user kermit secret
message size=100

login
C: LAST
S: -ERR unknown command
C: QUIT
S~ +OK*
close
