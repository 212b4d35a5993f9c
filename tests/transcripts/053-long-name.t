# Wire point 53: a name longer than any user's is never cut to one that is somebody's.
user \*255{k} secret

greeting
C: USER \*257{k}
S~ +OK*
C: PASS secret
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER \*1000{k}
S~ +OK*
C: PASS secret
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER \*255{k}
S~ +OK*
C: PASS secret
S~ +OK*
C: QUIT
S~ +OK*
close
