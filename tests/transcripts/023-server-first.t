# Wire point 23: where the server speaks first, auth's challenge comes at once. RFC 5034
# s.4: such a mechanism has no initial response; LOGIN takes the name as one all the same.
bare-only: the challenges are made up
set mechanisms=LOGIN CRAM-MD5
set max_login_failures=0
user kermit secret
auth hear nothing
auth say Username:
auth hear kermit
auth say Password:
auth hear secret
auth yes

greeting
C: AUTH CRAM-MD5 a2VybWl0IDAw
S: -ERR mechanism takes no initial response
C: AUTH CRAM-MD5
S: + VXNlcm5hbWU6
C: *
S: -ERR login cancelled
C: AUTH LOGIN a2VybWl0
S~ -ERR [AUTH] name or password is wrong (id *)
C: AUTH LOGIN
S: + VXNlcm5hbWU6
C: a2VybWl0
S: + UGFzc3dvcmQ6
C: c2VjcmV0
S~ +OK*
C: QUIT
S~ +OK*
close
