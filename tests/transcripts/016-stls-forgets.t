# Wire point 16: what was said before TLS is forgotten, USER above all.
user kermit secret
message size=70

greeting
C: USER kermit
S~ +OK*
C: STLS
S: +OK begin TLS now
tls
C: PASS secret
S: -ERR send USER first
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 1 message (70 octets)
C: QUIT
S~ +OK*
close
left: 1
