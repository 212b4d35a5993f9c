# Wire point 42: no line of the server ends in a bare LF, whatever the client sent.
user kermit secret

greeting
C- foo\nUSER a\rb\nQUIT now\nDELE\rQUIT\r\n
S: -ERR unknown command
S: +OK send PASS
S: -ERR usage: QUIT
S: -ERR unknown command
C: QUIT
S~ +OK*
close
