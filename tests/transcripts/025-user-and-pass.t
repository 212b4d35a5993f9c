# Wire point 25: USER replaces USER, PASS uses it up.
user kermit secret
user piggy moi

greeting
C: PASS secret
S: -ERR send USER first
C: USER piggy
S~ +OK*
C: USER kermit
S~ +OK*
C: PASS wrong
S~ -ERR [AUTH] name or password is wrong (id *)
C: PASS secret
S: -ERR send USER first
C: USER piggy
S~ +OK*
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: USER kermit
S: -ERR already logged in
C: PASS secret
S: -ERR already logged in
C: QUIT
S~ +OK*
close
