# Wire point 27 and threats 26: where TLS is needed and absent, no password is asked for.
link tls-needed
user kermit secret

greeting
C: CAPA
S~ +OK*
S: TOP
S: UIDL
S: RESP-CODES
S: AUTH-RESP-CODE
S: PIPELINING
S: STLS
S: UTF8 USER
S: LANG
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: USER kermit
S: -ERR login needs TLS
C: PASS secret
S: -ERR login needs TLS
C: AUTH
S: -ERR login needs TLS
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S: -ERR login needs TLS
C: STLS
S: +OK begin TLS now
tls
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
C: QUIT
S~ +OK*
close
