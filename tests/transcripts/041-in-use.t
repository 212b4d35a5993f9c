# Wire point 41: in use is another answer than a wrong password, and says who and since when.
user kermit secret
message size=100

@in-use
greeting
C: USER kermit
S~ +OK*
C: PASS wrong
S~ -ERR [AUTH] name or password is wrong (id *)
C: USER kermit
S~ +OK*
C: PASS secret
S~ -ERR [IN-USE] maildrop is in use by a session from * since 20*T*Z (id *)
@release
C: USER kermit
S~ +OK*
C: PASS secret
S~ +OK*
C: QUIT
S~ +OK*
close
left: 1
