# Wire point 29: QUIT is answered, before login too (RFC 1939 s.4).
user kermit secret
message size=70

greeting
C: QUIT
S: +OK bye
close
left: 1
