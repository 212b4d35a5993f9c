# Wire point 21: cancelling counts against the connection.
set max_login_failures=3
user kermit secret

greeting
C: AUTH PLAIN
S: +\s
C: *
S: -ERR login cancelled
C: AUTH PLAIN
S: +\s
C: *
S: -ERR login cancelled
C: AUTH PLAIN
S: +\s
C: *
S: -ERR login cancelled
close
