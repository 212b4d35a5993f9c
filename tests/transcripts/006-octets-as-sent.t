# Wire point 6: LIST and RETR agree on what is sent: CRLF counted, stuffed dots not.
user kermit secret
message
  text Subject: dots\n\n.\n..\n.x\nend\n
end

login
C: LIST 1
S: +OK 1 33
C: RETR 1
S: +OK 33 octets
S: Subject: dots
S:
S: ..
S: ...
S: ..x
S: end
S: .
C: QUIT
S~ +OK*
close
left: 1
