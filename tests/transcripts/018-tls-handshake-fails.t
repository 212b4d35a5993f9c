# Wire point 18: no TLS after +OK to STLS: the connection is closed.
user kermit secret

greeting
C: STLS
S: +OK begin TLS now
tls garbage
close
