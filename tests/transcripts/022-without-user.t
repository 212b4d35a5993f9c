# Wire point 22: where the operator leaves USER out, no password is asked for that way.
set mechanisms=PLAIN
user kermit secret

greeting
C: CAPA
S~ +OK*
S: TOP
S: UIDL
S: RESP-CODES
S: AUTH-RESP-CODE
S: PIPELINING
S: SASL PLAIN
S: STLS
S: UTF8 USER
S: LANG
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: USER kermit
S: -ERR USER is not offered, see CAPA
C: PASS secret
S: -ERR USER is not offered, see CAPA
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S~ +OK*
C: QUIT
S~ +OK*
close
