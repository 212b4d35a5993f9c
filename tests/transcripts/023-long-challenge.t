# Wire points 23 and 44: a challenge that is longer than the room for output goes out in
# pieces, whole and in order; what was sent behind it is the response.
bare-only: the challenges are made up
set mechanisms=GSSAPI
user kermit secret
auth hear abc
auth say \*9216{x}
auth hear def
auth say \*1000{xxx}y
auth hear
auth say
auth hear def
auth yes

greeting
C: AUTH GSSAPI YWJj
C: ZGVm
C:
C: ZGVm
S: + \*3072{eHh4}
S: + \*1000{eHh4}eQ==
S: +\s
S~ +OK*
C: QUIT
S~ +OK*
close
