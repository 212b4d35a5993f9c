# Wire point 15: TLS does not forgive failed logins: the third closes (threats 25).
user kermit secret

greeting
C: USER kermit
S~ +OK*
C: PASS wrong
S~ -ERR [AUTH] *
C: USER kermit
S~ +OK*
C: PASS wrong
S~ -ERR [AUTH] *
C: STLS
S: +OK begin TLS now
tls
C: USER kermit
S~ +OK*
C: PASS wrong
S~ -ERR [AUTH] *
close
