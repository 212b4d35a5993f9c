# Wire point 22: AUTH, also with a trailing blank (Outlook), lists the mechanisms.
user kermit secret

greeting
C: AUTH
S~ +OK*
S: PLAIN
S: .
C: AUTH\s
S~ +OK*
S: PLAIN
S: .
C: auth\s\s\t
S~ +OK*
S: PLAIN
S: .
C: QUIT
S~ +OK*
close
