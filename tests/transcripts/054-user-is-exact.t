# Wire point 54: the name is byte-exact; blanks at the end are forgiven elsewhere.
user kermit secret
message size=70

greeting
C: USER kermit\s
S~ +OK*
C: PASS secret
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER Kermit
S~ +OK*
C: PASS secret
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: LIST\s
S: +OK 1 message (70 octets)
S: 1 70
S: .
C: UIDL\s
S~ +OK*
S: 1 1700000001.M1P1.transcript
S: .
C: QUIT
S~ +OK*
close
