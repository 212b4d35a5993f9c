# Wire point 17: after a login without TLS there is no STLS any more (RFC 2595 s.4).
user kermit secret

login
C: STLS
S: -ERR already logged in
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
