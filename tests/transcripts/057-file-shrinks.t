# Wire point 57: a file that shrinks while it is sent: the connection is cut, no terminator, nothing is deleted.
bare-only: the file would have to shrink between two reads
user kermit secret
message size=5000

login
C: DELE 1
S~ +OK*
C: RSET
S~ +OK*
@shrink
C: RETR 1
S: +OK 5000 octets
close
left: 1
