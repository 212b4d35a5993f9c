# Wire point 16: XCLIENT is for listed peers; it forgets what was said before, as STLS does,
# and what the new client may do counts. Nobody is logged in by somebody's word.
bare-only: the addresses are made up
link xclient
user kermit secret
message size=200 utf8=150

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
S: XCLIENT ADDR PORT
S: EXPIRE NEVER
S~ IMPLEMENTATION *
S: .
C: UTF8
S~ +OK*
C: LANG de
S~ +OK*
C: USER kermit
S~ +OK*
C: XCLIENT ADDR=192.0.2.1 PORT=40000
S: +OK client has changed
C: PASS secret
S: -ERR send USER first
C: XCLIENT ADDR=192.0.2.1 LOGIN=kermit
S: -ERR usage: XCLIENT ADDR=address PORT=port
C: XCLIENT
S: -ERR usage: XCLIENT ADDR=address PORT=port
C: xclient addr=ipv6:2001:db8::2
S: +OK client has changed
C: USER kermit
S: -ERR login needs TLS
C: XCLIENT ADDR=[UNAVAILABLE]
S: +OK client has changed
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 1 message (200 octets)
C: XCLIENT ADDR=192.0.2.1
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
