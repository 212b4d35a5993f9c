# Wire point 17: STLS within TLS and after login is refused, and CAPA does not name it.
user kermit secret

greeting
C: STLS
S: +OK begin TLS now
tls
C: STLS
S: -ERR TLS is on already
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
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: STLS
S: -ERR already logged in
C: QUIT
S~ +OK*
close
