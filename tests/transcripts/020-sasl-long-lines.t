# Wire point 20: AUTH lines and responses up to 12 KiB are read whole; what is in them is wrong.
user kermit secret

greeting
C: AUTH PLAIN \*3000{QUFB}
S~ -ERR [AUTH] name or password is wrong (id *)
C: AUTH PLAIN
S: +\s
C: \*3000{QUFB}
S~ -ERR [AUTH] name or password is wrong (id *)
C: CAPA
S~ +OK*
S: TOP
S: UIDL
S: RESP-CODES
S: AUTH-RESP-CODE
S: PIPELINING
S: USER
S: SASL PLAIN
S: STLS
S: UTF8 USER
S: LANG
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: QUIT
S~ +OK*
close
