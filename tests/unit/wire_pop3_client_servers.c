/*
 * Dialogues in the manner of servers in use, and of broken ones. Each is played whole,
 * with the server's octets cut at every place, and must give the same events.
 */
#include "unit.h"

#include "base/check.h"
#include "wire_client_play.h"

#define DIALOGUE(name, ...)                                                              \
	static void name(void **state)                                                   \
	{                                                                                \
		static const struct step steps[] = {__VA_ARGS__};                        \
		(void)state;                                                             \
		play_everywhere(steps, ARRAY_SIZE(steps));                               \
	}

DIALOGUE(gmail,
	{"", "", "+OK Gpop ready for requests from 192.0.2.7 a1mb12\r\n",
		"G+ - |Gpop ready for requests from 192.0.2.7 a1mb12|\n"},
	{"CAPA", "CAPA\r\n",
		"+OK Capability list follows\r\nUSER\r\nRESP-CODES\r\nEXPIRE 0\r\n"
		"LOGIN-DELAY 300\r\nTOP\r\nUIDL\r\nX-GOOGLE-RICO\r\n"
		"SASL PLAIN XOAUTH2 OAUTHBEARER\r\n.\r\n",
		"S+ CAPA |Capability list follows| ...\nR+ CAPA |USER|\n"
		"R+ CAPA |RESP-CODES|\nR+ CAPA |EXPIRE 0|\nR+ CAPA |LOGIN-DELAY 300|\n"
		"R+ CAPA |TOP|\nR+ CAPA |UIDL|\nR+ CAPA |X-GOOGLE-RICO|\n"
		"R+ CAPA |SASL PLAIN XOAUTH2 OAUTHBEARER|\nE+ CAPA\n"},
	{"USER recent:anna", "USER recent:anna\r\n", "+OK send PASS\r\n",
		"S+ USER |send PASS|\n"},
	{"PASS wrong", "PASS wrong\r\n",
		"-ERR [AUTH] Username and password not accepted.\r\n",
		"S- PASS [AUTH] |Username and password not accepted.|\n"},
	{"AUTH OAUTHBEARER =n", "AUTH OAUTHBEARER bg==\r\n",
		"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n", "C |{\"status\":\"401\"}|\n"},
	{"> \x01", "AQ==\r\n", "-ERR [AUTH] Invalid credentials\r\n",
		"S- AUTH [AUTH] |Invalid credentials|\n"},
	{"AUTH XOAUTH2 =t", "AUTH XOAUTH2 dA==\r\n", "+OK Welcome.\r\n",
		"S+ AUTH |Welcome.|\n"},
	{"STAT\nUIDL 2", "STAT\r\nUIDL 2\r\n", "+OK 2 7142\r\n+OK 2 GmailId18c\r\n",
		"S+ STAT 2 |2 7142| =7142\nS+ UIDL 2 |2 GmailId18c| uid=GmailId18c\n"},
	{"RETR 1", "RETR 1\r\n", "+OK message follows\r\nA: b\r\n\r\n..\r\n.\r\n",
		"S+ RETR 1 |message follows| ...\nD A: b\\r\\n\\r\\n.\\r\\n\n"
		"E+ RETR 1 octets=11 dots=1\n"},
	{"QUIT", "QUIT\r\n", "+OK Farewell.\r\n", "S+ QUIT |Farewell.|\n"})

DIALOGUE(exchange_online,
	{"", "",
		"+OK The Microsoft Exchange POP3 service is ready. "
		"[QQBNADAAUABSADAA]\r\n",
		"G+ - |The Microsoft Exchange POP3 service is ready. "
		"[QQBNADAAUABSADAA]|\n"},
	{"CAPA", "CAPA\r\n", "+OK\r\nTOP\r\nUIDL\r\nSASL PLAIN XOAUTH2\r\nUSER\r\n.\r\n",
		"S+ CAPA || ...\nR+ CAPA |TOP|\nR+ CAPA |UIDL|\n"
		"R+ CAPA |SASL PLAIN XOAUTH2|\nR+ CAPA |USER|\nE+ CAPA\n"},
	{"AUTH XOAUTH2", "AUTH XOAUTH2\r\n", "+ \r\n", "C ||\n"},
	{"> user=a\x01\x01", "dXNlcj1hAQE=\r\n",
		"+OK User successfully authenticated.\r\n",
		"S+ AUTH |User successfully authenticated.|\n"},
	{"LIST", "LIST\r\n", "+OK 2 402\r\n1 201\r\n2 201\r\n.\r\n",
		"S+ LIST |2 402| ...\nR+ LIST 1 |1 201| =201\nR+ LIST 2 |2 201| =201\n"
		"E+ LIST\n"},
	{"DELE 1", "DELE 1\r\n", "\r\n", "S+ DELE 1 ||\n"},
	{"DELE 2", "DELE 2\r\n", "+OK\r\n", "S+ DELE 2 ||\n"},
	{"NOOP", "NOOP\r\n", "-ERR Protocol error. Connection is closed. 10\r\n",
		"S- NOOP |Protocol error. Connection is closed. 10|\n"})

DIALOGUE(exchange_two_lines_ahead, {"", "", "+OK ready\r\n", "G+ - |ready|\n"},
	{"AUTH XOAUTH2\n> t\nSTAT", "AUTH XOAUTH2\r\ndA==\r\nSTAT\r\n",
		"+\r\n-ERR Authentication failure: unknown user name or bad "
		"password.\r\n-ERR Command is not valid in this state.\r\n",
		"C ||\nS- AUTH |Authentication failure: unknown user name or bad "
		"password.|\nS- STAT |Command is not valid in this state.|\n"})

DIALOGUE(courier,
	{"", "", "+OK Hello there. <2a.7b@mail.example>\r\n",
		"G+ - |Hello there. <2a.7b@mail.example>| stamp=<2a.7b@mail.example>\n"},
	{"CAPA", "CAPA\r\n",
		"+OK Here's what I can do:\r\nSASL LOGIN CRAM-MD5\r\nSTLS\r\nTOP\r\n"
		"USER\r\nLOGIN-DELAY 10\r\nPIPELINING\r\nUIDL\r\n"
		"IMPLEMENTATION Courier Mail Server\r\n.\r\n",
		"S+ CAPA |Here's what I can do:| ...\nR+ CAPA |SASL LOGIN CRAM-MD5|\n"
		"R+ CAPA |STLS|\nR+ CAPA |TOP|\nR+ CAPA |USER|\n"
		"R+ CAPA |LOGIN-DELAY 10|\nR+ CAPA |PIPELINING|\nR+ CAPA |UIDL|\n"
		"R+ CAPA |IMPLEMENTATION Courier Mail Server|\nE+ CAPA\n"},
	{"STLS", "STLS\r\n", "+OK Begin SSL/TLS negotiation now.\r\n",
		"S+ STLS |Begin SSL/TLS negotiation now.|\n"},
	{"TLS\nAUTH CRAM-MD5", "AUTH CRAM-MD5\r\n", "+ PDJhQG1haWw+\r\n",
		"C |<2a@mail>|\n"},
	{"> anna 1f", "YW5uYSAxZg==\r\n", "+OK logged in.\r\n", "S+ AUTH |logged in.|\n"},
	{"UIDL\nLIST\nTOP 1 0", "UIDL\r\nLIST\r\nTOP 1 0\r\n",
		"+OK\r\n1 UID1-1700000000\r\n.\r\n"
		"+OK POP3 clients that break here, they violate STD53.\r\n1 9\r\n.\r\n"
		"+OK headers follow.\r\nA: b\r\n\r\n.\r\n",
		"S+ UIDL || ...\nR+ UIDL 1 |1 UID1-1700000000| uid=UID1-1700000000\n"
		"E+ UIDL\n"
		"S+ LIST |POP3 clients that break here, they violate STD53.| ...\n"
		"R+ LIST 1 |1 9| =9\nE+ LIST\nS+ TOP 1 |headers follow.| ...\n"
		"D A: b\\r\\n\\r\\n\nE+ TOP 1 octets=8\n"},
	{"QUIT", "QUIT\r\n", "+OK Bye-bye.\r\n", "S+ QUIT |Bye-bye.|\n"})

DIALOGUE(dovecot, {"", "", "+OK Dovecot ready.\r\n", "G+ - |Dovecot ready.|\n"},
	{"AUTH PLAIN =x\nSTAT\nUIDL 3\nUIDL 1",
		"AUTH PLAIN eA==\r\nSTAT\r\nUIDL 3\r\nUIDL 1\r\n",
		"+OK Logged in.\r\n+OK 3 900\r\n+OK 3 000000036553\r\n+OK 1 "
		"000000016553\r\n",
		"S+ AUTH |Logged in.|\nS+ STAT 3 |3 900| =900\n"
		"S+ UIDL 3 |3 000000036553| uid=000000036553\n"
		"S+ UIDL 1 |1 000000016553| uid=000000016553\n"},
	{"RETR 4\nRETR 3\nDELE 3\nQUIT", "RETR 4\r\nRETR 3\r\nDELE 3\r\nQUIT\r\n",
		"-ERR There's no message 4.\r\n+OK 8 octets\r\n\r\n..x.\r\n.\r\n"
		"+OK Marked to be deleted.\r\n+OK Logging out, messages deleted.\r\n",
		"S- RETR 4 |There's no message 4.|\nS+ RETR 3 |8 octets| ...\n"
		"D \\r\\n.x.\\r\\n\nE+ RETR 3 octets=7 dots=1\n"
		"S+ DELE 3 |Marked to be deleted.|\n"
		"S+ QUIT |Logging out, messages deleted.|\n"})

DIALOGUE(dovecot_turns_away,
	{"", "", "+OK Dovecot ready.\r\n", "G+ - |Dovecot ready.|\n"},
	{"USER a\nPASS b", "USER a\r\nPASS b\r\n",
		"+OK\r\n-ERR [SYS/TEMP] Temporary authentication failure. [mx:1]\r\n",
		"S+ USER ||\n"
		"S- PASS [TEMP] |Temporary authentication failure. [mx:1]|\n"},
	{"USER a\nPASS b", "USER a\r\nPASS b\r\n",
		"+OK\r\n-ERR [IN-USE] Mailbox is locked by another POP3 session.\r\n",
		"S+ USER ||\n"
		"S- PASS [IN-USE] |Mailbox is locked by another POP3 session.|\n"},
	{"", "", "-ERR Disconnected for inactivity.\r\n",
		"B the server said something that was not asked "
		"|Disconnected for inactivity.|\n"})

DIALOGUE(wildduck,
	{"", "", "+OK WildDuck ready for requests from 192.0.2.7 <5f.1@duck.example>\r\n",
		"G+ - |WildDuck ready for requests from 192.0.2.7 <5f.1@duck.example>| "
		"stamp=<5f.1@duck.example>\n"},
	{"USER a\nPASS b\nUIDL", "USER a\r\nPASS b\r\nUIDL\r\n",
		"+OK send PASS\r\n+OK maildrop locked and ready\r\n"
		"+OK 2 messages (80 octets)\r\n1 5c8f0e\r\n2 5c8f0f\r\n.\r\n",
		"S+ USER |send PASS|\nS+ PASS |maildrop locked and ready|\n"
		"S+ UIDL |2 messages (80 octets)| ...\nR+ UIDL 1 |1 5c8f0e| uid=5c8f0e\n"
		"R+ UIDL 2 |2 5c8f0f| uid=5c8f0f\nE+ UIDL\n"})

DIALOGUE(cyrus,
	{"", "", "+OK <17.16@mail.example> Cyrus POP3 3.6 server ready\r\n",
		"G+ - |<17.16@mail.example> Cyrus POP3 3.6 server ready| "
		"stamp=<17.16@mail.example>\n"},
	{"CAPA", "CAPA\r\n",
		"+OK List of capabilities follows\r\nSASL DIGEST-MD5 SCRAM-SHA-256\r\n"
		"EXPIRE NEVER\r\nLOGIN-DELAY 0\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n",
		"S+ CAPA |List of capabilities follows| ...\n"
		"R+ CAPA |SASL DIGEST-MD5 SCRAM-SHA-256|\nR+ CAPA |EXPIRE NEVER|\n"
		"R+ CAPA |LOGIN-DELAY 0|\nR+ CAPA |RESP-CODES|\n"
		"R+ CAPA |AUTH-RESP-CODE|\nE+ CAPA\n"},
	{"AUTH SCRAM-SHA-256 =n,,n=a", "AUTH SCRAM-SHA-256 biwsbj1h\r\n", "+ cj1h\r\n",
		"C |r=a|\n"},
	{"> c=biws", "Yz1iaXdz\r\n", "+ dj14\r\n", "C |v=x|\n"},
	{"> ", "\r\n", "+OK Mailbox locked and ready SESSIONID=<cyrus-1>\r\n",
		"S+ AUTH |Mailbox locked and ready SESSIONID=<cyrus-1>|\n"},
	{"UIDL", "UIDL\r\n", "+OK unique-id listing follows\r\n1 1700.1\r\n.\r\n",
		"S+ UIDL |unique-id listing follows| ...\nR+ UIDL 1 |1 1700.1| "
		"uid=1700.1\nE+ UIDL\n"})

DIALOGUE(twisted, {"", "", "+OK <1.2@host>\r\n", "G+ - |<1.2@host>| stamp=<1.2@host>\n"},
	{"UIDL 1\nUIDL 2", "UIDL 1\r\nUIDL 2\r\n", "+OK abcdef\r\n+OK 77\r\n",
		"S+ UIDL 1 |abcdef| uid=abcdef\nS+ UIDL 2 |77| uid=77\n"})

DIALOGUE(knows_rfc_1939_only, {"", "", "+ok\r\n", "G+ - ||\n"},
	{"CAPA\nUSER a\nPASS b", "CAPA\r\nUSER a\r\nPASS b\r\n",
		"-err unknown\r\n+ok\r\n+ok\r\n",
		"S- CAPA |unknown|\nS+ USER ||\nS+ PASS ||\n"},
	{"UIDL\nTOP 1 0\nLIST", "UIDL\r\nTOP 1 0\r\nLIST\r\n",
		"-err\r\n-err\r\n+ok\r\n  1   120  octets\r\n2\t7\r\n.\r\n",
		"S- UIDL ||\nS- TOP 1 ||\nS+ LIST || ...\n"
		"R+ LIST 1 |  1   120  octets| =120\nR+ LIST 2 |2\\097| =7\nE+ LIST\n"})

DIALOGUE(writes_line_feeds, {"", "", "+OK hi\n", "G+ - |hi|\n"},
	{"LIST\nRETR 1\nRETR 2", "LIST\r\nRETR 1\r\nRETR 2\r\n",
		"+OK\n1 4\n.\n+OK\na\n..\nb\n.\n+OK\n.\n",
		"S+ LIST || ...\nR+ LIST 1 |1 4| =4\nE+ LIST\nS+ RETR 1 || ...\n"
		"D a\\n.\\nb\\n\nE+ RETR 1 octets=6 dots=1 lf=3\n"
		"S+ RETR 2 || ...\nE+ RETR 2\n"})

/* The status line is in order, the message is not: a bare "." between LFs is content. */
DIALOGUE(mixes_line_ends, {"", "", "+OK hi\r\n", "G+ - |hi|\n"},
	{"RETR 1", "RETR 1\r\n", "+OK\r\nA: b\n\n..\n.\nc\n\r\n.\r\n",
		"S+ RETR 1 || ...\nD A: b\\n\\n..\\n.\\nc\\n\\r\\n\n"
		"E+ RETR 1 octets=15 lf=5\n"})

DIALOGUE(does_not_stuff, {"", "", "+OK hi\r\n", "G+ - |hi|\n"},
	{"RETR 1", "RETR 1\r\n", "+OK 10\r\n.a\r\n..b\r\n.\r\n",
		"S+ RETR 1 |10| ...\nD a\\r\\n.b\\r\\n\nE+ RETR 1 octets=7 dots=2\n"},
	{"RAW 1", "RETR 1\r\n", "+OK 10\r\n.a\r\n..b\r\n.\r\n",
		"S+ RETR 1 |10| ...\nD .a\\r\\n..b\\r\\n\nE+ RETR 1 octets=9 dots=2\n"})

DIALOGUE(bare_carriage_returns, {"", "", "+OK hi\r\n", "G+ - |hi|\n"},
	{"RETR 1", "RETR 1\r\n", "+OK\r\na\rb\r\r\n.\r.\r\n\r.\r\n.\r\n",
		"S+ RETR 1 || ...\nD a\\rb\\r\\r\\n\\r.\\r\\n\\r.\\r\\n\n"
		"E+ RETR 1 octets=14 dots=1\n"})

/* It closes in the middle: no END, whatever had come. */
DIALOGUE(no_terminator, {"", "", "+OK hi\r\n", "G+ - |hi|\n"},
	{"RETR 1", "RETR 1\r\n", "+OK\r\na\r\n.", "S+ RETR 1 || ...\nD a\\r\\n"})

DIALOGUE(refuses_now_and_then,
	{"", "", "-ERR [SYS/TEMP] busy\r\n", "G- - [TEMP] |busy|\n"},
	{"RETR 4\nDELE 4\nQUIT", "RETR 4\r\nDELE 4\r\nQUIT\r\n",
		"-ERR [SYS/PERM] unreadable\r\n-ERR no\r\n-ERR some left\r\n",
		"S- RETR 4 [PERM] |unreadable|\nS- DELE 4 |no|\nS- QUIT |some left|\n"})

DIALOGUE(speaks_another_protocol,
	{"", "", "220 mail.example ESMTP\r\n",
		"B neither +OK nor -ERR where an answer begins "
		"|220 mail.example ESMTP|\n"})

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gmail),
		cmocka_unit_test(exchange_online),
		cmocka_unit_test(exchange_two_lines_ahead),
		cmocka_unit_test(courier),
		cmocka_unit_test(dovecot),
		cmocka_unit_test(dovecot_turns_away),
		cmocka_unit_test(wildduck),
		cmocka_unit_test(cyrus),
		cmocka_unit_test(twisted),
		cmocka_unit_test(knows_rfc_1939_only),
		cmocka_unit_test(writes_line_feeds),
		cmocka_unit_test(mixes_line_ends),
		cmocka_unit_test(does_not_stuff),
		cmocka_unit_test(bare_carriage_returns),
		cmocka_unit_test(no_terminator),
		cmocka_unit_test(refuses_now_and_then),
		cmocka_unit_test(speaks_another_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
