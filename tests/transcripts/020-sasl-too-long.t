# Wire point 20: beyond 12 KiB there is one -ERR, and the exchange is over.
user kermit secret
message size=70

greeting
C: AUTH PLAIN
S: +\s
C: \*4000{QUFB}
S: -ERR line too long
C: AUTH PLAIN \*4000{QUFB}
S: -ERR line too long
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S: +OK maildrop has 1 message (70 octets)
C: QUIT
S~ +OK*
close
