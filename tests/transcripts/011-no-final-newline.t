# Wire point 11: a last line without end gets one, and it is counted.
user kermit secret
message
  text Subject: a\r\n\r\nlast
end
message
end

login
C: LIST
S: +OK 2 messages (20 octets)
S: 1 20
S: 2 0
S: .
C: RETR 1
S: +OK 20 octets
S: Subject: a
S:
S: last
S: .
C: RETR 2
S: +OK 0 octets
S: .
C: QUIT
S~ +OK*
close
left: 1 2
