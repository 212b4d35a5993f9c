# Wire point 29: QUIT between USER and PASS; what comes behind QUIT is not read.
user kermit secret
message size=70

greeting
C: USER kermit
C: quit
C: PASS secret
C: DELE 1
C: QUIT
S~ +OK*
S: +OK bye
close
left: 1
