# Wire point 56: CAPA keeps the USER, any other command forgets it; NOOP before login is -ERR.
user kermit secret

greeting
C: USER kermit
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
S: STLS
S: UTF8 USER
S: LANG
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: QUIT x
S~ -ERR*
C: PASS wrong
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER kermit
S~ +OK*
C: NOOP
S: -ERR log in first
C: PASS secret
S: -ERR send USER first
C: USER kermit
S~ +OK*
C: FOO
S: -ERR unknown command
C: PASS secret
S: -ERR send USER first
C: USER kermit
S~ +OK*
C: AUTH
S~ +OK*
S: PLAIN
S: .
C: PASS secret
S: -ERR send USER first
C: USER kermit
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
S: STLS
S: UTF8 USER
S: LANG
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: PASS secret
S~ +OK*
C: QUIT
S~ +OK*
close
