# Wire point 9: line ends are made whole first, then dots are stuffed, also in the first line.
user kermit secret
message
  text .first\n.\n.second\r\n..\n
end
message
  text .
end

login
C: RETR 1
S: +OK 24 octets
S: ..first
S: ..
S: ..second
S: ...
S: .
C: RETR 2
S: +OK 3 octets
S: ..
S: .
C: QUIT
S~ +OK*
close
left: 1 2
