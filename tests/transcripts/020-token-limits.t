# Wire point 20: a token of 9 kB fits into a SASL line; one octet group more does not.
bare-only: tokens come from somewhere else
set mechanisms=OAUTHBEARER
user kermit secret
auth hear \*9210{x}
auth yes

greeting
C: AUTH OAUTHBEARER
S: +\s
C: \*3100{eHh4}
S: -ERR line too long
C: AUTH OAUTHBEARER
S: +\s
C: \*3070{eHh4}
S~ +OK*
C: QUIT
S~ +OK*
close
