# Wire point 24: everything behind the first blank of PASS is the password.
user kermit \s\ssecret word\s

greeting
C: USER kermit
S~ +OK*
C: PASS secret word
S~ -ERR [AUTH]*
C: USER kermit
S~ +OK*
C: PASS   secret word
S~ -ERR [AUTH]*
C: USER kermit
S~ +OK*
C: PASS   secret word\s
S~ +OK*
C: QUIT
S~ +OK*
close
