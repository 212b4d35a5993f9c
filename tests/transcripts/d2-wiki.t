# The second dialogue: one message, read and deleted.
user wiki@example.com secret
message size=236

greeting
C: USER wiki@example.com
S~ +OK*
C: PASS secret
S~ +OK*
C: STAT
S: +OK 1 236
C: LIST
S~ +OK*
S: 1 236
S: .
C: RETR 1
S~ +OK*
S= 1
S: .
C: DELE 1
S~ +OK*
C: QUIT
S~ +OK*
close
left:
