# Wire point 27 and threats 27: before login the strictest of all users, marked with USER;
# after it this user's own values.
bare-only: all users of the server would have to differ
set expire=30
set expire_of_user=60
set login_delay=900
set login_delay_of_user=0
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
S: EXPIRE 30 USER
S: LOGIN-DELAY 900 USER
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
S: LOGIN-DELAY 0
S~ IMPLEMENTATION *
S: .
C: QUIT
S~ +OK*
close
