# Wire point 20: the two-line form of Office 365 clients; a token that is refused gets the
# error as a challenge, the client's empty line, and only then -ERR.
bare-only: tokens come from somewhere else
set mechanisms=USER PLAIN XOAUTH2
set max_login_failures=0
user kermit secret
auth hear user=kermit\x01auth=Bearer old\x01\x01
auth say {"status":"400","schemes":"Bearer","scope":"https://mail.example/"}
auth hear
auth no

greeting
C: AUTH XOAUTH2
S: +\s
C: dXNlcj1rZXJtaXQBYXV0aD1CZWFyZXIgb2xkAQE=
S: + eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZXhhbXBsZS8ifQ==
C:
S~ -ERR [AUTH] name or password is wrong (id *)
C: AUTH XOAUTH2 dXNlcj1rZXJtaXQBYXV0aD1CZWFyZXIgb2xkAQE=
S: + eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZXhhbXBsZS8ifQ==
C: *
S: -ERR login cancelled
C: STAT
S: -ERR log in first
C: QUIT
S~ +OK*
close
