# Wire point 27: the same announcements before and after login, less STLS (threats 26).
set expire=60
set login_delay=0
user kermit secret

greeting
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
S: EXPIRE 60
S~ IMPLEMENTATION *
S: .
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
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
S: EXPIRE 60
S~ IMPLEMENTATION *
S: .
C: CAPA x
S~ -ERR*
C: QUIT
S~ +OK*
close
