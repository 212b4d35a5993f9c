# Wire point 26: failed logins close in the end, known name or not.
set max_login_failures=2
user kermit secret

greeting
C: USER nobody
C: PASS wrong
C: USER kermit
C: PASS wrong
C: USER kermit
C: PASS secret
S: +OK send PASS
S~ -ERR [AUTH] name or password is wrong (id *)
S: +OK send PASS
S~ -ERR [AUTH] name or password is wrong (id *)
close
