# Wire point 26: a name that is known and one that is not get the same words.
user kermit secret

greeting
C: USER kermit
S: +OK send PASS
C: PASS wrong
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER nobody
S: +OK send PASS
C: PASS wrong
S~ -ERR [AUTH] name or password is wrong (id *)
C: QUIT
S~ +OK*
close
