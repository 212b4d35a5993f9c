# Wire point 10: the dot comes right behind the last line; RETR twice in one write shows the seam.
user kermit secret
message
  text Subject: a\r\n\r\nlast\r\n
end

login
C: RETR 1
C: RETR 1
S: +OK 20 octets
S: Subject: a
S:
S: last
S: .
S: +OK 20 octets
S= 1
S: .
C: QUIT
S~ +OK*
close
left: 1
