# Wire point 17: without a certificate STLS is refused, and CAPA does not name it.
link no-tls
user kermit secret

greeting
C: STLS
S: -ERR TLS is not offered here
C: CAPA
S~ +OK*
S: TOP
S: UIDL
S: RESP-CODES
S: AUTH-RESP-CODE
S: PIPELINING
S: USER
S: SASL PLAIN
S: UTF8 USER
S: LANG
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: QUIT
S~ +OK*
close
