# Wire point 20: a token in the AUTH line, and one in the line behind it.
bare-only: tokens come from somewhere else
set mechanisms=XOAUTH2 OAUTHBEARER
user kermit secret
message size=70
auth hear user=kermit\x01auth=Bearer vF9dft4qmT\x01\x01
auth yes

greeting
C: AUTH XOAUTH2 dXNlcj1rZXJtaXQBYXV0aD1CZWFyZXIgdkY5ZGZ0NHFtVAEB
S: +OK maildrop has 1 message (70 octets)
C: QUIT
S~ +OK*
close
again
greeting
C: AUTH XOAUTH2
S: +\s
C: dXNlcj1rZXJtaXQBYXV0aD1CZWFyZXIgdkY5ZGZ0NHFtVAEB
S: +OK maildrop has 1 message (70 octets)
C: QUIT
S~ +OK*
close
