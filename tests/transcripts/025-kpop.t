# Wire point 25: after a Kerberos ticket USER says whose, and PASS can say anything. There is
# nothing else to log in with.
bare-only: the ticket is made up
link kpop
set mechanisms=USER PLAIN APOP XOAUTH2
user kermit secret

S: +OK POP3 server post.example ready
C: CAPA
S~ +OK*
S: TOP
S: UIDL
S: RESP-CODES
S: AUTH-RESP-CODE
S: PIPELINING
S: USER
S: UTF8 USER
S: LANG
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: AUTH
S: -ERR mechanism is not offered, see CAPA
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S: -ERR mechanism is not offered, see CAPA
C: APOP kermit c4c9334bac560ecc979e58001b3e22fb
S: -ERR unknown command
C: STLS
S: -ERR TLS is not offered here
C: USER kermit
S~ +OK*
C: PASS hello.world
S~ +OK*
C: QUIT
S~ +OK*
close
