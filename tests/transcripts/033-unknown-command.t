# Wire point 33: unknown commands are -ERR and close only after a number of them in a row.
set max_bad_commands=3
user kermit secret

greeting
C: HELO
S: -ERR unknown command
C: XTND XMIT
S: -ERR unknown command
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
C: FOO
S: -ERR unknown command
C: APOP kermit c4c9334bac560ecc979e58001b3e22fb
S: -ERR unknown command
C: GET / HTTP/1.1
C: Host: post.example
S: -ERR unknown command
close
