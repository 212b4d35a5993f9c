# Wire point 16: STLS forgets UTF8 and LANG as it forgets USER.
bare-only: the sizes are made up
user kermit secret
message size=200 utf8=150

greeting
C: UTF8
S: +OK UTF8 is on
C: LANG de
S: +OK de Sprache gewechselt
C: STLS
S: +OK TLS kann beginnen
tls
C: NOOP
S: -ERR log in first
C: USER kermit
S~ +OK*
C: PASS secret
S: +OK maildrop has 1 message (200 octets)
C: QUIT
S~ +OK*
close
