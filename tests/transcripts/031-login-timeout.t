# Wire point 31: before login the time is short, and nothing that the client sends makes it longer.
bare-only: the clock is moved
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
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
@almost-idle
C: USER kermit
S~ +OK*
@idle
close
