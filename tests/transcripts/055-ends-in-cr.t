# Wire point 55: a message that ends in a lone CR keeps it and gets CRLF, which is counted.
user kermit secret
message
  text Subject: a\r\n\r\nlast\r
end

login
C: LIST 1
S: +OK 1 21
C: RETR 1
S: +OK 21 octets
S: Subject: a
S:
S: last\r
S: .
C: QUIT
S~ +OK*
close
