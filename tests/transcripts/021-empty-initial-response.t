# Wire point 21: "=" is an empty initial response; PLAIN cannot be empty, so it is a wrong one.
user kermit secret

greeting
C: AUTH PLAIN =
S~ -ERR [AUTH] name or password is wrong (id *)
C: AUTH PLAIN
S: +\s
C: =
S: -ERR response is not base64
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S~ +OK*
C: AUTH PLAIN AGtlcm1pdABzZWNyZXQ=
S: -ERR already logged in
C: QUIT
S~ +OK*
close
