"""Small stories with a moral, each in English and Chinese. `{a|b}` is told one way or the other.

A tale is three lines: title | sentences, divided by `/` | moral. English and Chinese tell the same tale, one after
the other.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tale:
    title: str
    sentences: tuple[str, ...]  # with {a|b} alternatives
    moral: str


def tales(text: str) -> list[tuple[Tale, Tale]]:
    """Pairs of a tale in English and the same in Chinese."""
    lines = [line.strip() for line in text.strip().splitlines()]
    found = [
        Tale(title, tuple(part.strip() for part in body.split("/")), moral)
        for title, body, moral in zip(lines[0::3], lines[1::3], lines[2::3], strict=True)
    ]
    return list(zip(found[0::2], found[1::2], strict=True))


TALES = tales("""
The Squirrel and the Snow
All summer a {young|little} squirrel played in the sun / His sister {carried|took} nuts into the old tree every day / When the snow came, he had nothing to eat / She {shared|divided} her nuts, and next year he gathered too
prepare today for the needs of tomorrow
松鼠与大雪
整个夏天，小松鼠都在阳光下{玩耍|嬉戏} / 姐姐每天把坚果{搬进|运进}老树洞 / 大雪来了，他什么吃的也没有 / 姐姐{分给|送给}他坚果，第二年他也开始储粮
今天要为明天做准备
The Two Buckets
Two buckets {hung|swung} over one well / One cried that it always came up full but went down empty / The other laughed that it always went down empty but came up full / They {did|had} the same work, yet only one was glad
the same life can be seen in two ways
两只水桶
井上{挂着|吊着}两只水桶 / 一只哭着说，每次满着上来，总要空着下去 / 另一只笑着说，每次空着下去，总能满着上来 / 它们{做着|干着}同样的活，却只有一只快乐
同样的生活可以有两种看法
The Boastful Drum
A drum {boasted|bragged} that nobody was louder / The flute {kept silent|said nothing} and practised every night / At the feast the drum was sent out after one song / The guests listened to the flute until morning
loud words are not great deeds
爱吹牛的鼓
一面鼓{夸口|吹嘘}说没有谁比它更响 / 笛子{不说话|一声不吭}，每晚练习 / 宴会上，鼓响了一曲就被搬了出去 / 客人们听笛子一直听到天亮
大话不等于大本领
The Mouse on the Ship
A captain {wanted|meant} to throw a small mouse into the sea / It begged for its life, and he {let it go|set it free} / One night the mouse squeaked beside his ear until he woke / There was a hole in the ship, and everyone was saved
a small friend can be a great help
船上的老鼠
船长{想|打算}把一只小老鼠扔进海里 / 老鼠求他饶命，他就{放了它|让它走了} / 一天夜里，老鼠在他耳边吱吱叫，把他叫醒 / 船上破了一个洞，大家因此得救
小朋友也能帮大忙
The Fox and the Borrowed Coat
A fox {borrowed|took} the coat of a peacock and walked proudly through the wood / All the birds {bowed|sang} before him / Then the rain washed the colours away / Everybody saw the fox and laughed
borrowed glory does not last
狐狸与借来的衣裳
狐狸{借来|穿上}孔雀的羽衣，得意地走过树林 / 鸟儿们都向他{鞠躬|唱歌} / 后来雨水冲掉了颜色 / 大家看见是狐狸，都笑了起来
借来的光彩不长久
The Patient Potter
A potter {broke|spoiled} ninety-nine bowls / His neighbours told him to {give up|stop} / He looked at each broken bowl and learned something / The next bowl was the finest in the land
every mistake is a teacher
耐心的陶匠
陶匠{打碎|做坏}了九十九只碗 / 邻居们劝他{放弃|算了} / 他细看每只碎碗，都学到一点东西 / 下一只碗成了全国最美的碗
每个错误都是老师
The Crow and the Pearl
A hungry crow {found|picked up} a pearl in the sand / He {hid|kept} it in his nest and guarded it day and night / While he sat there, the others ate all the corn / The pearl shone, but the crow grew thin
what you cannot use does not make you rich
乌鸦与珍珠
饥饿的乌鸦在沙里{找到|捡到}一颗珍珠 / 他把它{藏|放}在窝里，日夜看守 / 他守着的时候，别的鸟吃光了玉米 / 珍珠闪闪发光，乌鸦却越来越瘦
用不上的东西不会让人富有
The Lamp and the Star
A small lamp was {ashamed|sad} because the stars were brighter / One night clouds {covered|hid} the whole sky / A lost child saw the lamp in the window and came home / From that night on the lamp was content
a small light near is better than a great light far away
小灯与星星
小灯因为星星更亮而{羞愧|难过} / 一天夜里，乌云{遮住|盖住}了整个天空 / 迷路的孩子看见窗里的灯，回到了家 / 从那夜起，小灯心满意足
近处的小光胜过远处的大光
The Bear Who Would Not Ask
A bear {walked|wandered} three days in search of the river / He passed an owl, a frog and a deer, but he was too proud to ask / At last he {fell down|sat down} tired under a tree / The river ran just behind it
asking is no shame
不肯问路的熊
熊{走|转}了三天去找河 / 他路过猫头鹰、青蛙和鹿，却骄傲得不肯开口 / 最后他累得{倒在|坐在}一棵树下 / 河就在树的后面
开口请教并不丢人
The Two Goats and the Plank
Two goats {met|stood} in the middle of a narrow plank / Neither {wanted|was willing} to step back / They pushed until both fell into the cold water / Swimming home, they agreed to take turns
those who give way arrive first
木板上的两只羊
两只山羊在窄木板中间{相遇|碰头} / 谁也不{想|愿}后退 / 他们推来推去，都掉进了冷水 / 游回家的路上，他们约定轮流过桥
懂得让路的人先到达
The Gardener and the Seeds
A gardener {dug up|looked at} his seeds every morning to see whether they grew / They never {sprouted|came up} / His daughter watered hers and waited / In spring her garden was full of flowers
good things need time
园丁与种子
园丁每天早晨{挖出|翻看}种子，看它们长了没有 / 种子一直没有{发芽|长出来} / 女儿给自己的种子浇水，然后等待 / 春天，她的花园开满了花
好事需要时间
The Goose with One Song
A goose {knew|had} only one song and sang it badly / The nightingale {laughed|mocked}, and the goose felt foolish / But when a thief came at night, the goose sang as loud as she could / The farmer woke and the thief ran away
everyone is good for something
只会一首歌的鹅
鹅只{会|有}一首歌，还唱得难听 / 夜莺{笑话|嘲笑}她，鹅觉得自己很傻 / 夜里来了小偷，鹅放声大唱 / 农夫醒了，小偷逃走了
每个人都有用处
The Monkey and the Jar
A monkey {put|pushed} his hand into a jar and filled it with nuts / The full hand would not {come out|pass} / He cried, but he did not open his fingers / A turtle said: take half, and you will have some
who wants everything gets nothing
猴子与罐子
猴子把手{伸进|塞进}罐子，抓了满满一把坚果 / 满满的手{拿不出来|出不来} / 他大哭，却不肯松开手指 / 乌龟说：拿一半，你就能得到一些
什么都要的人什么也得不到
The Honest Woodcutter's Son
A boy {found|saw} a purse of gold on the road / His friends told him to {keep|hide} it / He ran a whole day after the merchant who had lost it / The merchant made him his partner
honesty is the best treasure
诚实的樵夫之子
男孩在路上{捡到|看见}一袋金子 / 朋友们叫他{留下|藏起来} / 他跑了一整天，追上丢金子的商人 / 商人请他做了合伙人
诚实是最好的财宝
The Wolf Who Cried at Night
A wolf {told|promised} the sheep that he only wanted to sing for them / The youngest lamb {opened|unlocked} the gate / The old dog came just in time / After that the gate stayed closed, however sweet the song
sweet words can hide sharp teeth
夜里唱歌的狼
狼对羊群{说|保证}，他只想给它们唱歌 / 最小的羊羔{打开|推开}了门 / 老狗及时赶到 / 从此无论歌声多甜，门再也不开
甜言蜜语会藏着利牙
The Ant and the Sugar Hill
An ant {discovered|found} a hill of sugar too large to carry / She could have {eaten|stayed} alone for a year / Instead she called her friends, and they carried it home together / In the rain that night the hill melted, but their store was full
what is shared is saved
蚂蚁与糖山
蚂蚁{发现|找到}一座大得搬不动的糖山 / 她本可以独自{吃|享用}一年 / 可是她叫来朋友，大家一起搬回家 / 当夜下雨，糖山化了，他们的粮仓却是满的
分享才能保住
The Tailor and the King
A king {ordered|wanted} a coat by the next morning / The tailor {answered|said} that a good coat needs seven days / Another man sewed it in one night / It tore at the feast, and the king came back to wait
haste makes waste
裁缝与国王
国王{命令|要求}第二天早晨做好一件大衣 / 裁缝{回答|说}，好衣服要做七天 / 另一个人一夜就缝好了 / 宴会上衣服裂开，国王只好回来等待
欲速则不达
The Frog in the Bucket
A frog lived in a bucket and {thought|believed} it was the world / A swallow {told|spoke} of mountains and the sea, and he did not believe her / One day the bucket fell over / The frog saw the sky and was silent for a long time
the world is wider than what we see
水桶里的青蛙
青蛙住在水桶里，{以为|相信}那就是世界 / 燕子{讲起|说到}高山和大海，他不信 / 有一天水桶倒了 / 青蛙看见天空，久久说不出话
世界比我们看到的更大
The Donkey and the Bell
A donkey {stole|took} the bell of the leading horse / He {thought|hoped} that all would follow him now / The others heard the bell and ran into a swamp behind him / They gave the bell back to the one who knew the way
a sign does not make a leader
驴与铃铛
驴{偷走|拿走}了领头马的铃铛 / 他{以为|希望}大家从此会跟着他 / 别的马听着铃声，跟他跑进了沼泽 / 大家把铃铛还给了认路的马
有招牌不等于会领路
The Old Man and the Three Threads
An old man {gave|handed} each of his sons a thread and each broke it / Then he {twisted|wound} three threads into one / No son was strong enough to break it / They stayed together all their lives
together we are strong
老人与三根线
老人{给|递给}每个儿子一根线，他们都扯断了 / 然后他把三根线{拧|绕}成一股 / 哪个儿子也扯不断 / 他们一辈子团结在一起
团结就是力量
The Cat Who Waited for Wind
A cat {wished|wanted} to sail across the lake, but there was no wind / She {lay|slept} in the boat for nine days / A duck took the oars that lay beside her and crossed in an hour / The cat is waiting still
do not wait, begin
等风的猫
猫{想|要}坐船过湖，可是没有风 / 她在船里{躺|睡}了九天 / 鸭子拿起她身边的桨，一小时就划到了对岸 / 猫还在那里等
不要等待，马上开始
The Painter and the Child
A painter {asked|begged} the wise men whether his picture was good, and all praised it / A child {said|called} that the horse had five legs / The painter was angry, then he counted / He thanked the child and took up his brush
the truth is worth more than praise
画家与孩子
画家{问|请教}智者们他的画好不好，人人都夸奖 / 一个孩子{说|喊}，那匹马有五条腿 / 画家很生气，随后他数了数 / 他谢过孩子，拿起了画笔
真话比夸奖更珍贵
The River and the Rock
A river {came|ran} to a great rock and could not move it / The rock {laughed|smiled} at the soft water / The river said nothing and flowed on for a thousand years / Now there is a valley where the rock stood
patience is stronger than force
河流与巨石
河流{来到|流到}一块巨石前，推不动它 / 巨石{嘲笑|讥笑}柔软的水 / 河流不说话，流了一千年 / 如今巨石的地方成了山谷
耐心胜过蛮力
The Hen and the Eagle's Egg
A hen {found|saw} a strange egg and kept it warm / A chick with a crooked beak came out, and the others {laughed at|pecked} it / She loved it like her own / When a fox came, the grown eagle carried him off
kindness comes back
母鸡与鹰蛋
母鸡{发现|看见}一枚奇怪的蛋，把它焐暖 / 孵出一只弯嘴小鸟，别的小鸡{笑它|啄它} / 她爱它像爱自己的孩子 / 后来狐狸来了，长大的鹰把狐狸抓走了
善良会有回报
The Baker's Scales
A baker {made|baked} his loaves a little smaller every week / A farmer who {sold|brought} him butter did the same / The baker took him to the judge, who laughed / The farmer had weighed his butter with the baker's loaf
as you treat others, so they treat you
面包师的秤
面包师每星期把面包{做|烤}得小一点 / {卖给|送给}他黄油的农夫也这样做 / 面包师拉他去见法官，法官笑了 / 农夫是用面包师的面包来称黄油的
你怎样待人，人就怎样待你
The Hare Who Counted Steps
A hare {boasted|said} that he could reach the hill in a hundred jumps / He {counted|shouted} every jump and looked only at his feet / At a hundred he stood in the wrong valley / The turtle had looked at the hill and was there
keep your eyes on the goal
数步子的野兔
野兔{夸口|说}他跳一百下就能到山上 / 他一下一下地{数|喊}，只看着自己的脚 / 跳到一百，他站在了错误的山谷 / 乌龟一直望着山，已经到了
眼睛要看着目标
The Rooster and the Sunrise
A rooster {thought|believed} that the sun rose because he called / One morning he {slept|was ill}, and the sun rose all the same / He was ashamed before the hens / Since then he calls because it is his joy
nobody is as important as he thinks
公鸡与日出
公鸡{以为|相信}太阳是因为他打鸣才升起 / 一天早晨他{睡过了头|生了病}，太阳照样升起 / 他在母鸡面前很惭愧 / 从此他打鸣，是因为自己喜欢
谁也没有自己想的那么重要
The Spider and the Storm
A spider {spun|built} her web, and the storm tore it / She {spun|built} it again, and the storm tore it again / A lion in the cave had lost a fight and watched her / When the web was finished, the lion stood up
never give up
蜘蛛与风暴
蜘蛛{织|结}好网，风暴撕破了它 / 她又{织|结}一次，风暴又撕破了它 / 洞里一头打输了的狮子看着她 / 网终于织成的时候，狮子站了起来
永远不要放弃
""")  # noqa: E501
