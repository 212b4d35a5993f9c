# Wire point 52: and in TLS.
link tls
user kermit secret
message size=5000
message size=6000

greeting
C: USER kermit
C: PASS secret
C: RETR 1
C: RETR 2
C: DELE 1
C: QUIT
S~ +OK*
S~ +OK*
S: +OK 5000 octets
S= 1
S: .
S: +OK 6000 octets
S= 2
S: .
S~ +OK*
S: +OK bye (1 message left)
close
left: 2
