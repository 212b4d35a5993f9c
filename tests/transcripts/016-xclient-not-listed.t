# Wire point 16: to everybody else XCLIENT is no command.
user kermit secret

greeting
C: XCLIENT ADDR=127.0.0.1 PORT=1
S: -ERR unknown command
C: QUIT
S~ +OK*
close
